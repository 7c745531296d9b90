import logging

logging.getLogger("nat.observability").setLevel(logging.DEBUG)
