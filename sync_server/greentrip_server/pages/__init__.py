"""Pages for people: the front page and one page for each kind of problem."""
