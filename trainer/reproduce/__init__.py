"""The paper's tables, made again: every row pre-trained, fine-tuned and scored over seeds."""
