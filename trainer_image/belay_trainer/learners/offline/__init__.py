"""What all algorithms have in common that learn from logged episodes: an algorithm's file says what differs."""
