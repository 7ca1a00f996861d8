"""Entries: the thirty as they stand, and every way in which a file can be wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from coach.config import BUILT_IN_KNOWLEDGE
from coach.errors import KnowledgeError
from coach.knowledge import TOPICS, Entry, key_points_from, load_entries

FIELDS = (
    *("id", "number", "question", "topic", "difficulty", "aliases", "answer", "spoken", "facts"),
    *("key_points", "misconceptions", "follow_ups", "references"),
)
MINIMAL = 'id = "{id}"\nquestion = "What is it?"\nanswer = "It is one thing. It is also another thing."\n'


def put(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def faults_of(own: Path, built_in: Path | None = None) -> tuple[str, ...]:
    with pytest.raises(KnowledgeError) as caught:
        load_entries(built_in, () if built_in == own else (own,))
    return caught.value.faults


def test_there_are_the_thirty_in_their_order(entries: tuple[Entry, ...]) -> None:
    assert [entry.number for entry in entries] == list(range(1, 31))
    assert {entry.id for entry in entries} == {path.stem for path in BUILT_IN_KNOWLEDGE.glob("*.toml")}


def test_each_of_them_goes_beyond_its_answer(entries: tuple[Entry, ...]) -> None:
    for entry in entries:
        assert len(entry.facts) >= 12, entry.id
        assert not [fact for fact in entry.facts if fact in entry.answer or not fact.endswith((".", '."'))]


def test_titles_differ_and_every_topic_is_known(entries: tuple[Entry, ...]) -> None:
    assert len({entry.title for entry in entries}) == 30
    assert {entry.topic for entry in entries} <= set(TOPICS)
    by_id = {entry.id: entry for entry in entries}
    assert by_id["lstm"].title == "LSTM"
    assert by_id["batch-normalisation"].title == "Batch normalisation"


def test_no_question_is_asked_in_the_same_words_by_two_entries(entries: tuple[Entry, ...]) -> None:
    asked: dict[str, str] = {}
    for entry in entries:
        for text in (entry.question, *entry.aliases):
            assert asked.setdefault(text.lower(), entry.id) == entry.id, text


def test_a_key_point_is_found_by_its_id(entries: tuple[Entry, ...]) -> None:
    point = entries[0].key_points[1]
    assert entries[0].key_point(point.id) is point
    with pytest.raises(KeyError):
        entries[0].key_point("no-such-point")


def test_a_minimal_entry_of_ones_own(tmp_path: Path) -> None:
    put(tmp_path, "any-name.toml", MINIMAL.format(id="label-smoothing"))
    (entry,) = load_entries(None, [tmp_path])
    assert entry.id == "label-smoothing"
    assert [point.text for point in entry.key_points] == ["It is one thing.", "It is also another thing."]
    assert {point.weight for point in entry.key_points} == {2}
    assert (entry.number, entry.aliases, entry.follow_ups, entry.references) == (None, (), (), ())


def test_ones_own_come_after_the_built_in_ones(tmp_path: Path, entries: tuple[Entry, ...]) -> None:
    put(tmp_path / "a", "z.toml", MINIMAL.format(id="z"))
    put(tmp_path / "b", "b.toml", MINIMAL.format(id="b"))
    found = load_entries(BUILT_IN_KNOWLEDGE, [tmp_path / "a", tmp_path / "b"])
    assert [entry.id for entry in found] == [entry.id for entry in entries] + ["b", "z"]


def test_follow_ups_of_ones_own_may_probe_the_points_made_from_the_answer(tmp_path: Path) -> None:
    text = MINIMAL.format(id="x") + '[[follow_ups]]\nquestion = "And then?"\nprobes = "point-2"\nexpects = ["More."]\n'
    put(tmp_path, "x.toml", text)
    (entry,) = load_entries(None, [tmp_path])
    assert entry.key_point(entry.follow_ups[0].probes).text == "It is also another thing."


def test_a_doi_becomes_an_address(tmp_path: Path) -> None:
    text = MINIMAL.format(id="x") + '[[references]]\ntitle = "A paper"\ndoi = "10.1000/182"\n'
    put(tmp_path, "x.toml", text)
    (entry,) = load_entries(None, [tmp_path])
    assert entry.references[0].url == "https://doi.org/10.1000/182"


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xef\xbb\xbf" + MINIMAL.format(id="x").encode())
    assert load_entries(None, [tmp_path])[0].id == "x"


def test_key_points_of_an_answer_without_real_sentences() -> None:
    assert [point.text for point in key_points_from("Yes. No.")] == ["Yes.", "No."]
    assert key_points_from("") == ()


def test_an_id_that_is_taken_names_both_files(tmp_path: Path) -> None:
    put(tmp_path, "mine.toml", MINIMAL.format(id="dropout"))
    (fault,) = faults_of(tmp_path, BUILT_IN_KNOWLEDGE)
    assert "mine.toml" in fault
    assert "knowledge/dropout.toml" in fault


def test_the_same_id_twice_in_ones_own_folder(tmp_path: Path) -> None:
    put(tmp_path, "a.toml", MINIMAL.format(id="x"))
    put(tmp_path, "b.toml", MINIMAL.format(id="x"))
    (fault,) = faults_of(tmp_path)
    assert "a.toml" in fault
    assert "b.toml" in fault


def test_an_empty_folder_a_missing_one_and_a_file_instead_of_one(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    put(tmp_path, "file.txt", "x")
    with pytest.raises(KnowledgeError) as caught:
        load_entries(None, [tmp_path / "empty", tmp_path / "nowhere", tmp_path / "file.txt"])
    empty, nowhere, file = caught.value.faults
    assert "no .toml file" in empty
    assert "nowhere" in nowhere
    assert "not a folder" in file


WRONG_EVERYWHERE = """
id = 5
question = ["x"]
answer = true
number = 1.5
topic = {a = 1}
difficulty = "hard"
aliases = [1, 2]
spoken = 1979-05-27
facts = [""]
key_points = "none"
misconceptions = [1]
follow_ups = {question = "q"}
references = 7
colour = "red"
"""
WRONG_WITHIN = (
    MINIMAL.format(id="x")
    + """
[[key_points]]
id = 5
text = 1
weight = true
[[key_points]]
id = "Not An Id"
text = "Good."
weight = 9
[[misconceptions]]
claim = 1
[[follow_ups]]
question = ""
probes = "nothing"
expects = [""]
[[references]]
title = 1
year = "x"
url = "ftp"
"""
)


def fields_of(faults: tuple[str, ...]) -> set[str]:
    return {fault.split(": ")[1] for fault in faults}


def test_every_field_of_a_wrong_type_is_reported_at_once(tmp_path: Path) -> None:
    put(tmp_path, "x.toml", WRONG_EVERYWHERE)
    faults = faults_of(tmp_path)
    assert fields_of(faults) == {*FIELDS, "colour"}
    assert all(fault.startswith(f"{tmp_path.name}/x.toml: ") for fault in faults)


def test_every_field_within_a_table_is_reported_by_its_place(tmp_path: Path) -> None:
    put(tmp_path, "x.toml", WRONG_WITHIN)
    assert fields_of(faults_of(tmp_path)) == {
        "key_points[1].id", "key_points[1].text", "key_points[1].weight", "key_points[2].id", "key_points[2].weight",
        "misconceptions[1].claim", "misconceptions[1].correction", "follow_ups[1].question", "follow_ups[1].probes",
        "follow_ups[1].expects", "references[1].title", "references[1].year", "references[1].url",
    }  # fmt: skip


def test_two_key_points_of_one_id(tmp_path: Path) -> None:
    point = '[[key_points]]\nid = "a"\ntext = "It is."\n'
    put(tmp_path, "x.toml", MINIMAL.format(id="x") + point + point)
    (fault,) = faults_of(tmp_path)
    assert "'a'" in fault


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'id = "caf\xe9"', "UTF-8"),
        (b"\x00\x01\x02", "TOML"),
        (b"id = ", "TOML"),
        (b"x = " + b"9" * 5000, "TOML"),
        (b"x = " + b"[" * 5000, "TOML"),
        (b'id = "\\ud800"', "TOML"),
        (b"", "question"),
    ],
    ids=["latin-1", "binary", "cut off", "huge number", "deep nesting", "lone surrogate", "empty"],
)
def test_a_file_that_cannot_be_read_is_a_fault_beside_the_others(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    put(tmp_path, "b.toml", "id = 5\n")
    faults = faults_of(tmp_path)
    assert any("a.toml" in fault and says in fault for fault in faults)
    assert any("b.toml" in fault for fault in faults)


def test_a_folder_named_like_a_file_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "x.toml").mkdir()
    (fault,) = faults_of(tmp_path)
    assert "x.toml" in fault


def test_a_faulty_value_is_not_repeated_at_length(tmp_path: Path) -> None:
    put(tmp_path, "x.toml", MINIMAL.format(id="x") + f"difficulty = {[1] * 5000}\n")
    (fault,) = faults_of(tmp_path)
    assert len(fault) < 300


def built_in_copy(tmp_path: Path, old: str, new: str) -> Path:
    folder = tmp_path / "knowledge"
    folder.mkdir()
    path = folder / "dropout.toml"
    shutil.copy(BUILT_IN_KNOWLEDGE / "dropout.toml", path)
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return folder


def test_an_unchanged_built_in_entry_passes_strictly(tmp_path: Path) -> None:
    assert len(load_entries(built_in_copy(tmp_path, "id =", "id ="))) == 1


@pytest.mark.parametrize(
    ("old", "new", "field"),
    [
        ('id = "dropout"', 'id = "drop-out"', "id"),
        ('topic = "regularisation"', 'topic = "cooking"', "topic"),
        ("number = ", "# number = ", "number"),
        ("\nanswer = ", '\nanswer = "Short."\nlonger = ', "answer"),
        ("\nspoken = ", "\ncolour = ", "spoken"),
        ("[[misconceptions]]", "[[mistakes]]", "misconceptions"),
        ("[[follow_ups]]", "[[questions]]", "follow_ups"),
        ("[[references]]", "[[books]]", "references"),
        ("weight = ", "heavy = ", "key_points[1].weight"),
    ],
)
def test_a_built_in_entry_must_be_complete(tmp_path: Path, old: str, new: str, field: str) -> None:
    folder = built_in_copy(tmp_path, old, new)
    assert field in fields_of(faults_of(folder, folder))


def test_the_guide_names_every_field() -> None:
    guide = (BUILT_IN_KNOWLEDGE / "README.md").read_text(encoding="utf-8")
    assert [name for name in FIELDS if name not in guide] == []
