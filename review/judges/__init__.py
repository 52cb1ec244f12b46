"""Other models as judges of the same responses. What they say stands beside people's verdicts, never
among them.
"""
