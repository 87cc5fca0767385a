"""The process `watch`: looks at k2x from outside. Consumer lag, dead letters as they stand, and word to people.

It joins no group of the pipeline and writes to none of its topics: nothing waits for it, and it may be stopped at will.
"""
