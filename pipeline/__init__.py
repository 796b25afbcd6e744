"""How it is run: configuration, plan, Ray actors, resume and the `sightlog` command."""
