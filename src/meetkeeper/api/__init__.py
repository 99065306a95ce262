"""The one door for people and programs: queries, commands, the HTTP interface, its client, and who may use them.

Floor 5. Screens and the command line speak to the house only through here, so what one of them can do, any
program can.
"""
