"""Steps, their order and folders, and the engines that run them; knows nothing of models.

A `Step` says what is asked (`step`). Its identity is the hash of that meaning, and its folder is
named after it (`store`). A worker runs it and writes the record of what happened last (`worker`);
`schedule` walks a graph of steps with one of the `engines` and tells its `events`; `plan` says what
that walk would do.
"""
