"""Measures how often the door would open for the wrong face, and stay shut for the right one.

At an administrator's desk, never at a door: it reads photographs of people who are no residents.
"""
