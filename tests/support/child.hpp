// A call that is made in a child process: for what ends a process, or changes all of it.

#pragma once

#include <doctest/doctest.h>

#include <sys/wait.h>
#include <unistd.h>
#include <csignal>
#include <cstddef>
#include <functional>
#include <string>

namespace test {

struct child_end {
    int status = 0;    // what the call returned, or minus the signal that ended the child; 99: it threw
    std::string said;  // on stderr
};

inline child_end in_child(const std::function<int()>& call) {
    int ends[2] = {-1, -1};
    REQUIRE(::pipe(ends) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        for (const int signo : {SIGABRT, SIGINT, SIGTERM}) ::signal(signo, SIG_DFL);
        ::dup2(ends[1], STDERR_FILENO);
        int status = 99;
        try {
            status = call();
        } catch (...) {
        }
        ::_exit(status);
    }
    ::close(ends[1]);
    child_end seen;
    char buffer[1024];
    for (ssize_t count = 0; (count = ::read(ends[0], buffer, sizeof buffer)) > 0;)
        seen.said.append(buffer, static_cast<std::size_t>(count));
    ::close(ends[0]);
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    seen.status = WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    return seen;
}

}  // namespace test
