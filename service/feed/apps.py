"""Which podcast app a user agent belongs to, as a person would call it. Pure."""

# Looked for in this order: some apps name the engine that they fetch with as well.
FAMILIES = (
    ("antennapod", "AntennaPod"),
    ("podcastaddict", "Podcast Addict"),
    ("podcast addict", "Podcast Addict"),
    ("overcast", "Overcast"),
    ("pocket casts", "Pocket Casts"),
    ("pocketcasts", "Pocket Casts"),
    ("castro", "Castro"),
    ("gpodder", "gPodder"),
    ("kasts", "Kasts"),
    ("audiobookshelf", "Audiobookshelf"),
    ("podcasts/", "Apple Podcasts"),
    ("applecoremedia", "Apple Podcasts"),
    ("itunes", "Apple Podcasts"),
    ("mozilla/", "a browser"),
)
# Their makers' servers fetch for all of their listeners.
FETCH_FOR_OTHERS = frozenset({"Overcast", "Pocket Casts"})
LONGEST = 40


def family(user_agent: str) -> str:
    """Return the app's name; of an unknown one its first word, without the version.

    Empty when the app says nothing that can be shown.
    """
    lowered = user_agent.lower()
    for mark, name in FAMILIES:
        if mark in lowered:
            return name
    words = user_agent.partition("/")[0].split()
    first = "".join(letter for letter in (words[0] if words else "") if letter.isprintable())
    return first[:LONGEST]
