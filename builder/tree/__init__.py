"""Trees of files: their digest (NAR), joining, splitting, comparing, removing."""
