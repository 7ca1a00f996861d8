"""Write `coach/calibrations.json`: what null and model answers of the built-in entries get from the embedded model.

Run `python benchmarks/calibrate.py` after an entry, a prompt of the judge, or the model has changed; a test says so.
What a cache holds already is taken from there; else an entry takes about twenty seconds on two cores.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict

from coach.calibration import BUILT_IN
from coach.coach import Coach
from coach.config import settings_from
from coach.judge import Task, calibration_key


def main() -> int:
    coach = Coach.load(settings_from(None))
    coach.wait_ready(model=True)
    assert coach.llm is not None
    kept = {}
    for entry in coach.entries:
        task = Task.of_entry(entry, coach.foil(entry))
        found = asdict(coach.judge().calibrate(task))
        rounded = json.loads(json.dumps(found), parse_float=lambda text: round(float(text), 2))
        kept[calibration_key(coach.llm.name, task)] = rounded
        print(entry.id, file=sys.stderr)
    BUILT_IN.write_text(json.dumps(kept, separators=(",", ":")).replace("},", "},\n") + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
