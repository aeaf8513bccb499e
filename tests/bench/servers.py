"""How each server is started: one class of command line or configuration for each, caps raised, nothing else changed.

A server is asked for with a workload (tiny, cat, echo) and a port and answers with argv, or None where it has no such
thing. What is measured is decided in measure.py.
"""

import os

CAP = 20000  # more than is ever held
ACCOUNT = "nobody"


class Server:
    """One row: `name` as the table shows it, `argv(workload, port)`."""

    def __init__(self, name, work, make, workloads=("tiny", "cat"), ports=None):
        self.name, self.work, self.make = name, work, make
        self.workloads, self.ports = workloads, ports or {}

    def port(self, workload, free):
        """An inetd's built-in echo has the port of its name, every other server takes a free one."""
        return self.ports.get(workload, free)

    def argv(self, workload, port):
        return self.make(self, workload, port)

    def file(self, suffix, text):
        path = os.path.join(self.work, "run", self.name.replace(" ", "-") + suffix)
        with open(path, "w") as out:
            out.write(text)
        return path


def program(server, workload):
    return {"tiny": os.path.join(server.work, "tiny"), "cat": "/bin/cat"}[workload]


FULL = f'''user = "{ACCOUNT}"
umask = "0027"
limits = {{ open_files = 512, processes = {CAP}, cpu_time = "1h", file_size = "1G" }}
'''
BARE = 'user = "root"\nsandbox = "none"\n'


def oxinetd_table(services):
    return (
        '[daemon]\ncontrol = "off"\nlog_to = "stderr"\ninclude = []\n\n'
        '[defaults]\nmax_connections = "unlimited"\nmax_per_source = "unlimited"\n\n' + "\n".join(services)
    )


def oxinetd_service(name, port, body):
    return f'[service.{name}]\nlisten = "127.0.0.1:{port}"\n{body}'


def oxinetd(setup, model="process"):
    def make(server, workload, port):
        if workload == "echo":
            body = f'builtin = "echo"\nmodel = "{model}"\nuser = "{ACCOUNT}"\n'
        else:
            body = f'command = ["{program(server, workload)}"]\n' + setup
        table = server.file(".toml", oxinetd_table([oxinetd_service(workload, port, body)]))
        return [os.path.join(server.work, "oxinetd"), "run", "--config", table]

    return make


def bare(kind, binary="bare"):
    def make(server, workload, port):
        tail = [] if workload == "echo" else [program(server, workload)]
        return [os.path.join(server.work, binary), kind, str(port)] + tail

    return make


def command(*words):
    """`PORT` and `PROGRAM` are filled in; None when the first word is not installed."""

    def make(server, workload, port):
        if not any(os.access(os.path.join(d, words[0]), os.X_OK) for d in os.environ["PATH"].split(":")):
            return None
        return [w.replace("PORT", str(port)).replace("PROGRAM", program(server, workload)) for w in words]

    return make


def peer(server, name):
    path = os.path.join(server.work, "peers/root/usr/sbin", name)
    return path if os.access(path, os.X_OK) else None


def xinetd(user):
    def make(server, workload, port):
        what = "type = INTERNAL UNLISTED\n id = echo-stream" if workload == "echo" else (
            f"type = UNLISTED\n server = {program(server, workload)}")
        table = server.file(".conf", f"""service {workload}
{{
 {what}
 socket_type = stream
 protocol = tcp
 port = {port}
 bind = 127.0.0.1
 wait = no
 user = {user}
 cps = 10000000 1
 instances = UNLIMITED
 per_source = UNLIMITED
}}
""")
        binary = peer(server, "xinetd")
        return binary and [binary, "-dontfork", "-f", table, "-filelog", table + ".log", "-pidfile", table + ".pid"]

    return make


def inetd(binary, user, *options):
    def make(server, workload, port):
        what = f"{user} {program(server, workload)} {workload}" if workload != "echo" else "root internal"
        name = "echo" if workload == "echo" else port
        table = server.file(".conf", f"127.0.0.1:{name} stream tcp nowait {what}\n")
        path = peer(server, binary)
        return path and [path, *(o.replace("FILE", table) for o in options), table]

    return make


def inetds(work, name, binary, *options):
    return [
        Server(f"{name}, root", work, inetd(binary, "root", *options), ("tiny",)),
        Server(name, work, inetd(binary, ACCOUNT, *options), ("tiny", "cat", "echo"), {"echo": 7}),
    ]


def everyone(work):
    """All rows, ours first, then the limits, then the peers. Where nothing is said, children run as root, no set-up."""
    return [
        Server("oxinetd, root", work, oxinetd(BARE), ("tiny", "cat")),
        Server("oxinetd", work, oxinetd(FULL), ("tiny", "cat", "echo")),
        Server("oxinetd, event", work, oxinetd(FULL, "event"), ("echo",)),
        Server("bare vfork", work, bare("vfork")),
        Server("bare vfork, no statuses", work, bare("reapless"), ("tiny",)),
        Server("bare fork", work, bare("fork"), ("echo",)),
        Server("bare epoll", work, bare("epoll"), ("echo",)),
        Server("tcpserver", work, command("tcpserver", "-c", str(CAP), "-b", "4096", "-HRl0", "127.0.0.1", "PORT", "PROGRAM")),
        Server("tcpsvd", work, command("tcpsvd", "-c", str(CAP), "-b", "4096", "-l0", "127.0.0.1", "PORT", "PROGRAM")),
        Server("xinetd, root", work, xinetd("root"), ("tiny",)),
        Server("xinetd", work, xinetd(ACCOUNT), ("tiny", "cat", "echo")),
        *inetds(work, "openbsd-inetd", "inetd", "-i", "-R", "100000000", "-q", "4096"),
        *inetds(work, "inetutils-inetd", "inetutils-inetd", "-R", "100000000", "-pFILE.pid"),
        Server("systemd-socket-activate", work, command("systemd-socket-activate", "-l", "127.0.0.1:PORT", "-a", "--inetd", "PROGRAM")),
        Server("socat", work, command("socat", "TCP-LISTEN:PORT,bind=127.0.0.1,fork,reuseaddr,backlog=4096", "EXEC:PROGRAM,nofork")),
        Server("ncat", work, command("ncat", "-l", "-k", "-m", str(CAP), "-e", "PROGRAM", "127.0.0.1", "PORT")),
    ]
