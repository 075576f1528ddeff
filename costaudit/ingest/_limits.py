"""What is too large to be true, or to be kept."""

MOST_TOKENS = 2**40  # tokens of one call; a trillion is a broken counter, not a request
MOST_TEXT = 4_096  # characters of an id or a name; longer ones are text that does not belong in the table
TOO_DEEP = "nested too deeply"  # of a value almost as deep as JSON can be read
