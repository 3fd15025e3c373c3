# SPDX-License-Identifier: MIT
"""An SSH server in this process, where a guest would be: scripted commands, files in a folder."""

import os
import socket
import threading
import time
from contextlib import suppress

import paramiko

from harness.guest.ssh import Keys, for_paramiko


class Handle(paramiko.SFTPHandle):
    """An open file."""


class Files(paramiko.SFTPServerInterface):
    """A guest's files, below the folder that the server was given."""

    def __init__(self, server):
        self.folder = server.folder

    def _place(self, path):
        return self.folder / os.path.normpath("/" + path).lstrip("/")

    def open(self, path, flags, attr):
        try:
            mode = "r+b" if flags & os.O_WRONLY or flags & os.O_RDWR else "rb"
            file = os.fdopen(os.open(self._place(path), flags, 0o600), mode)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        handle = Handle(flags)
        handle.readfile = handle.writefile = file
        return handle

    def stat(self, path):
        try:
            return paramiko.SFTPAttributes.from_stat(self._place(path).stat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def lstat(self, path):
        try:
            return paramiko.SFTPAttributes.from_stat(self._place(path).lstat())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)

    def list_folder(self, path):
        """As of lstat(2), as OpenSSH's server has it."""
        try:
            found = sorted(self._place(path).iterdir())
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return [paramiko.SFTPAttributes.from_stat(each.lstat(), each.name) for each in found]

    def mkdir(self, path, attr):
        try:
            self._place(path).mkdir()
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno)
        return paramiko.SFTP_OK

    def chattr(self, path, attr):
        self._place(path).chmod(attr.st_mode)
        return paramiko.SFTP_OK


class Interface(paramiko.ServerInterface):
    """Lets in one key; each command is a function of its channel."""

    def __init__(self, keys, commands, folder):
        self.key, self.commands, self.folder = for_paramiko(keys.user), commands, folder

    def check_auth_publickey(self, username, key):
        good = username == "root" and key.asbytes() == self.key.asbytes()
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username):
        return "publickey"

    def check_channel_request(self, kind, chanid):
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel, command):
        word = command.decode().split()[0]
        threading.Thread(target=self._play, args=(channel, word), daemon=True).start()
        return True

    def check_channel_shell_request(self, channel):
        threading.Thread(target=self._play, args=(channel, "shell"), daemon=True).start()
        return True

    def check_channel_pty_request(self, *_):
        return True

    def _play(self, channel, word):
        time.sleep(0.01)  # The request is answered first.
        with suppress(OSError, EOFError, paramiko.SSHException):  # The session has ended.
            status = self.commands[word](channel)
            if status is not None:
                channel.send_exit_status(status)
                channel.close()


class Server:
    """Listens on a port of the loopback until closed."""

    def __init__(self, keys: Keys, commands, folder, host=None):
        self.keys, self.commands, self.folder = keys, commands, folder
        self.host = host or keys.host
        self.transports = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            transport = paramiko.Transport(connection)
            transport.add_server_key(for_paramiko(self.host))
            transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
            self.transports.append(transport)
            try:
                transport.start_server(server=Interface(self.keys, self.commands, self.folder))
            except (OSError, EOFError, paramiko.SSHException):  # The client has gone.
                transport.close()

    def vanish(self):
        """As a guest that panics: every connection is gone at once."""
        for transport in self.transports:
            transport.close()

    def close(self):
        with suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()
        self.vanish()
