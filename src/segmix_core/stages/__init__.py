"""What each stage does with a project: a file a stage, each one function of a job."""
