"""HELM's seven views of a model (Liang et al., arXiv 2211.09110), in its manner; never an official score
of HELM.
"""
