// SPDX-License-Identifier: GPL-2.0
/*
 * launch ARGV CONSOLE: run the QEMU that the file ARGV says, a word a line.
 *
 * QEMU gets its console and its monitor as sockets, as on any host: descriptors
 * 3 and 4.  The console is passed on to the terminal CONSOLE; what the
 * monitor says goes to standard output, and at last a line with QEMU's status.
 * What comes from the terminal has the monitor tell where the guest is.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { CONSOLE = 3, MONITOR = 4, WORDS = 128 };

static void die(const char *what)
{
	printf("launch: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* The words of a file, a line each, with a null pointer at the end. */
static char **words_of(const char *path)
{
	static char *words[WORDS + 1];
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t size = 0, number = 0;
	ssize_t length;

	if (!file)
		die(path);
	while (number < WORDS && (length = getline(&line, &size, file)) > 0) {
		line[strcspn(line, "\n")] = '\0';
		words[number++] = strdup(line);
	}
	fclose(file);
	return words;
}

/* The terminal, passing every byte as it is. */
static int open_raw(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct termios settings;

	if (fd < 0 || tcgetattr(fd, &settings))
		die(path);
	cfmakeraw(&settings);
	settings.c_cflag |= CLOCAL;
	if (tcsetattr(fd, TCSANOW, &settings))
		die(path);
	return fd;
}

/* QEMU with the far ends of two sockets; returns the near ones in `near`. */
static pid_t start(char **words, int near[2])
{
	int far[2];
	pid_t child;

	for (int i = 0; i < 2; i++) {
		int pair[2];

		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
			die("socketpair");
		near[i] = pair[0];
		far[i] = fcntl(pair[1], F_DUPFD_CLOEXEC, 16);
		close(pair[1]);
	}
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		dup2(far[0], CONSOLE);
		dup2(far[1], MONITOR);
		execvp(words[0], words);
		die(words[0]);
	}
	close(far[0]);
	close(far[1]);
	return child;
}

/* To a QEMU that is gone already, nothing: its status tells. */
static void ask(int monitor, const char *command)
{
	send(monitor, command, strlen(command), MSG_NOSIGNAL);
}

static void put(int fd, const char *bytes, size_t size)
{
	while (size) {
		ssize_t done = write(fd, bytes, size);

		if (done < 0)
			die("write");
		bytes += done;
		size -= done;
	}
}

/* Pass on what comes until both sockets are closed. */
static void relay(int near[2], int terminal)
{
	struct pollfd waited[3] = {
		{ .fd = near[0], .events = POLLIN },
		{ .fd = near[1], .events = POLLIN },
		{ .fd = terminal, .events = POLLIN },
	};
	int sinks[2] = { terminal, STDOUT_FILENO };
	char bytes[4096];

	ask(near[1], "{\"execute\": \"qmp_capabilities\"}\n{\"execute\": \"cont\"}\n");
	while (waited[0].fd >= 0 || waited[1].fd >= 0) {
		if (poll(waited, 3, -1) < 0)
			die("poll");
		if (waited[2].revents && read(terminal, bytes, sizeof(bytes)) > 0)
			ask(near[1], "{\"execute\": \"human-monitor-command\", \"arguments\": "
				     "{\"command-line\": \"info registers -a\"}}\n");
		for (int i = 0; i < 2; i++) {
			ssize_t got;

			if (waited[i].fd < 0 || !waited[i].revents)
				continue;
			got = read(waited[i].fd, bytes, sizeof(bytes));
			if (got > 0)
				put(sinks[i], bytes, got);
			else
				waited[i].fd = -1;
		}
	}
}

int main(int argc, char **argv)
{
	int near[2], status;
	pid_t child;

	setbuf(stdout, NULL);
	if (argc != 3) {
		errno = EINVAL;
		die("usage: launch ARGV CONSOLE");
	}
	child = start(words_of(argv[1]), near);
	relay(near, open_raw(argv[2]));
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (WIFSIGNALED(status) && sigabbrev_np(WTERMSIG(status)))
		printf("launch: QEMU was ended by SIG%s\n", sigabbrev_np(WTERMSIG(status)));
	else if (WIFSIGNALED(status))
		printf("launch: QEMU was ended by signal %d\n", WTERMSIG(status));
	else
		printf("launch: QEMU ended with status %d\n", WEXITSTATUS(status));
	return 0;
}
