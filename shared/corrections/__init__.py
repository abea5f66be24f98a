"""A person's corrections of groups: names, merges, splits and single points, made into labels of whole sequences."""
