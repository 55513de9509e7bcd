"""What people look at after a training or a validation, written once for every form.

document.py   paragraphs, tables and pictures, as Markdown, HTML and JSON
curves.py     a picture of how metrics went over the seeds
training.py   the report of an RLTrainingJob that was trained here
"""
