"""What is known of each dataset: class names, label codes, boxes, files of predictions."""
