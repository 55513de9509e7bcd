"""What the view consists of: a file each, in the order in which a person on call asks."""
