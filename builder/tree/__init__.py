"""Trees of files: their digest (NAR), reading and writing them as archives, joining, splitting, comparing."""
