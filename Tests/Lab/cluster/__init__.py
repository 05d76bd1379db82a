"""A cluster's working half in the lab: what turns a StatefulSet at an API server into running pods. See cluster/README.md."""
