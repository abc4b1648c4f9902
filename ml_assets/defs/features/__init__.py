"""Feature views: values of an entity, each with the moment at which it becomes known."""
