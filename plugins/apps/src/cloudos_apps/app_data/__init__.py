"""The data of apps, for backups: what there is, holding an app still, dumps, and making it again."""
