"""What is kept from one start to the next: past streams, and how well links have played. SQLite, in one thread."""
