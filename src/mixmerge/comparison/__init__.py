"""``mixmerge compare``: is one model better than another, by the evaluation logs that exist?"""
