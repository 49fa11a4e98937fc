"""Pages made of files of results: the results, and how settings were chosen."""
