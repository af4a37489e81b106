"""The project's own server under simulation, on PostgreSQL: a database from a template for each seed."""

from simulation.real_server import RealServer
from support.postgres import PostgresServer


class RealServerOnPostgres(RealServer):
    """As `RealServer`, and slower: a database is made for each seed."""

    def __init__(self, postgres: PostgresServer) -> None:
        self._postgres = postgres
        self._name = postgres.create_database()
        self._copies: dict[str, str] = {}
        super().__init__()

    def end(self) -> None:
        super().end()
        for name in (self._name, *self._copies.values()):
            self._postgres.drop_database(name)

    def _database_url(self) -> str:
        return self._postgres.url(self._name)

    def _keep(self, name: str) -> None:
        self._database.engine.dispose()  # a database is copied only while nobody is connected
        if name in self._copies:
            self._postgres.drop_database(self._copies[name])
        self._copies[name] = self._postgres.copy_database(self._name)

    def _put_back(self, name: str) -> None:
        self._database.engine.dispose()
        self._postgres.drop_database(self._name)
        self._postgres.copy_database(self._copies[name], self._name)
