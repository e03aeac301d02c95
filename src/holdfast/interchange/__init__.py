"""Existing set-ups in, objectives out: pure conversions between other tools' formats and estates.

    bytes or rows --read--> Draft --finish--> Imported (a valid estate, its text, and the remarks)

Rules:
1. Nothing is dropped in silence. What has no counterpart is a Remark: where it stood, what it was, why it
   cannot be, and what was done instead.
2. What comes out is valid: every check is tried by itself before it is taken in, the whole at the end.
3. No secret passes. Passwords, tokens and keys become references (`env:NAME`), and no remark repeats one.
4. Input is hostile until read: sizes, depths and counts are bounded, and no text reaches a name unclean.
5. History is evidence. Time that the other tool cannot vouch for becomes UNKNOWN, never up.
"""
