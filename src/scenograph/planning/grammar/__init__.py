"""Reads regular English without any model: prompt → Statement, and what was left over.

words/     the word tables, plain text: a new relation wording is one entry in relations.txt
lexicon    the tables as sets and dictionaries; singular, kinds of words, COCO's name of a noun
tokens     prompt → tokens with their class
grammar.lark, phrases    tokens → noun phrases, and the words between them (LALR)
reading    phrases → Statement
"""

from scenograph.planning.grammar.lexicon import coco_name
from scenograph.planning.grammar.reading import Reading, read

__all__ = ["Reading", "coco_name", "read"]
