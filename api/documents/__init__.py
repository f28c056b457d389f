"""What callers get: every JSON answer, in the names and units of docs/reference/http.md."""
