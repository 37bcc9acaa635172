"""docker-compose.yml on a real Docker engine: built, started, broken, resumed and compared, in one table."""
