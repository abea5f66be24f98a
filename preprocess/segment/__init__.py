"""First pass: what each sweep is made of, windows clustered into groups, ids linked over the sequence."""
