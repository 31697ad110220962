"""From a data set to images on the device: decoded once, mapped from a cache, loaded in a new order each epoch."""
