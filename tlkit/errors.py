"""The one error that is the user's to mend."""


class InputError(ValueError):
    """What was given cannot be used; the message names the argument, the value and what is allowed.

    The `tlkit` command prints it as one line; everything else that is raised is a defect of tlkit.
    """
