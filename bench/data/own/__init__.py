"""Images of one's own as a dataset: what a folder holds, found without torch, and its splits.

``kind`` says which kind of data a folder is, ``identity`` what it consists of, ``load`` reads a split.
"""
