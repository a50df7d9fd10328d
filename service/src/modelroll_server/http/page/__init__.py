"""The page at `/`, for people: what is live, how it does, and a form to try it.

`card` says what a manifest says, in words; `page` answers the requests; the other files are what a browser gets.
"""
