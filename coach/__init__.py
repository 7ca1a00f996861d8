"""A deep-learning interview coach that runs on the user's own machine."""
