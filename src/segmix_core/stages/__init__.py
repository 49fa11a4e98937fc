"""The stages: one file per stage, each a function of a job."""
