"""Steps, their order and folders, and the engines that run them; independent of models.

A `Step` says what to do (`step`). Its identity is a hash of that, and names its folder (`store`). A
worker runs it and writes a record last (`worker`); `schedule` runs a graph of steps on one of the
`engines` and reports `events`; `plan` predicts what that run would do.
"""
