// What every kernel answers about options of sockets, and about signals.

#include <support/platform.hpp>

#include <csignal>

using test::owned_fd;

namespace {

// Level and name.
using option = std::pair<int, int>;
constexpr option one_of_each_level[] = {{SOL_SOCKET, SO_KEEPALIVE}, {IPPROTO_TCP, TCP_NODELAY}};
constexpr option switches[] = {
    {SOL_SOCKET, SO_KEEPALIVE}, {SOL_SOCKET, SO_REUSEADDR}, {SOL_SOCKET, SO_REUSEPORT}, {IPPROTO_TCP, TCP_NODELAY}};
constexpr option numbers[] = {{SOL_SOCKET, SO_SNDBUF},
                              {SOL_SOCKET, SO_RCVBUF},
                              {IPPROTO_TCP, TCP_KEEPIDLE},
                              {IPPROTO_TCP, TCP_NOTSENT_LOWAT},
                              {IPPROTO_TCP, TCP_USER_TIMEOUT}};

}  // namespace

TEST_CASE_TEMPLATE("an option that does not exist is ENOPROTOOPT", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    CHECK(on.set(fd, SOL_SOCKET, 9999, 1) == -ENOPROTOOPT);
    CHECK(on.get(fd, SOL_SOCKET, 9999) == -ENOPROTOOPT);
    CHECK(on.set(fd, IPPROTO_TCP, 9999, 1) == -ENOPROTOOPT);
    CHECK(on.get(fd, IPPROTO_TCP, 9999) == -ENOPROTOOPT);
    CHECK(on.set(fd, 9999, 1, 1) == -ENOPROTOOPT);
    CHECK(on.get(fd, 9999, 1) == -EOPNOTSUPP);
    CHECK(on.set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1) == -ENOPROTOOPT);  // of an IPv4 socket
    CHECK(on.set(fd, SOL_SOCKET, SO_ERROR, 1) == -ENOPROTOOPT);
    CHECK(on.set(fd, SOL_SOCKET, SO_TYPE, 1) == -ENOPROTOOPT);
    CHECK(on.set(fd, SOL_SOCKET, SO_ACCEPTCONN, 1) == -ENOPROTOOPT);
}

TEST_CASE_TEMPLATE("an option's value has a size: too little is EINVAL, more is ignored", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    const int values[4] = {1, 0, 0, 0};
    for (const auto& [level, name] : one_of_each_level) {
        CHECK(on.os().set_option(fd, level, name, values, 3) == -EINVAL);
        CHECK(on.os().set_option(fd, level, name, values, 0) == -EINVAL);
        CHECK(on.get(fd, level, name) == 0);
        CHECK(on.os().set_option(fd, level, name, values, sizeof values) == 0);
        CHECK(on.get(fd, level, name) == 1);
    }
    CHECK(on.os().set_option(fd, SOL_SOCKET, SO_LINGER, values, sizeof(int)) == -EINVAL);
}

TEST_CASE_TEMPLATE("an option is stored as far as there is room", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    for (const auto& [level, name] : one_of_each_level) {
        int values[2] = {-1, -1};
        unsigned size = sizeof values;
        CHECK(on.os().get_option(fd, level, name, values, &size) == 0);
        CHECK(size == sizeof(int));
        CHECK(values[0] == 0);
        CHECK(values[1] == -1);
        values[0] = -1;
        size = 1;
        CHECK(on.os().get_option(fd, level, name, values, &size) == 0);
        CHECK(size == 1);
        CHECK(values[0] == ~0xff);
        size = 0;
        CHECK(on.os().get_option(fd, level, name, values, &size) == 0);
        CHECK(size == 0);
        size = static_cast<unsigned>(-1);
        CHECK(on.os().get_option(fd, level, name, values, &size) == -EINVAL);
    }
}

TEST_CASE_TEMPLATE("what is on or off is 1 or 0, whatever was given", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    for (const auto& [level, name] : switches) {
        CHECK(on.get(fd, level, name) == 0);
        CHECK(on.set(fd, level, name, 5) == 0);
        CHECK(on.get(fd, level, name) == 1);
        CHECK(on.set(fd, level, name, 0) == 0);
        CHECK(on.get(fd, level, name) == 0);
    }
}

TEST_CASE_TEMPLATE("SO_LINGER is what was set", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    linger value{-1, -1};
    unsigned size = sizeof value;
    CHECK(on.os().get_option(fd, SOL_SOCKET, SO_LINGER, &value, &size) == 0);
    CHECK(value.l_onoff == 0);
    CHECK(size == sizeof value);
    const linger ten{5, 10};
    CHECK(on.os().set_option(fd, SOL_SOCKET, SO_LINGER, &ten, sizeof ten) == 0);
    CHECK(on.os().get_option(fd, SOL_SOCKET, SO_LINGER, &value, &size) == 0);
    CHECK(value.l_onoff == 1);
    CHECK(value.l_linger == 10);
}

TEST_CASE_TEMPLATE("a buffer's size is told doubled, and neither below a least nor above a greatest", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    for (const int name : {SO_SNDBUF, SO_RCVBUF}) {
        CHECK(on.set(fd, SOL_SOCKET, name, 50'000) == 0);
        CHECK(on.get(fd, SOL_SOCKET, name) == 100'000);
        CHECK(on.set(fd, SOL_SOCKET, name, 0) == 0);
        const int least = on.get(fd, SOL_SOCKET, name);
        CHECK(least > 1000);
        CHECK(least < 10'000);
        CHECK(on.set(fd, SOL_SOCKET, name, 1) == 0);
        CHECK(on.get(fd, SOL_SOCKET, name) == least);
        CHECK(on.set(fd, SOL_SOCKET, name, 1'000'000'000) == 0);
        const int greatest = on.get(fd, SOL_SOCKET, name);
        CHECK(greatest < 1'000'000'000);
        CHECK(on.set(fd, SOL_SOCKET, name, -1) == 0);  // taken as unsigned
        CHECK(on.get(fd, SOL_SOCKET, name) == greatest);
    }
}

TEST_CASE_TEMPLATE("TCP's own options are what was set, within their limits", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd fd = on.socket();
    for (const int name : {TCP_KEEPIDLE, TCP_KEEPINTVL, TCP_KEEPCNT}) {
        CHECK(on.set(fd, IPPROTO_TCP, name, 7) == 0);
        CHECK(on.get(fd, IPPROTO_TCP, name) == 7);
        CHECK(on.set(fd, IPPROTO_TCP, name, 0) == -EINVAL);
        CHECK(on.set(fd, IPPROTO_TCP, name, -1) == -EINVAL);
        CHECK(on.set(fd, IPPROTO_TCP, name, 40'000) == -EINVAL);
        CHECK(on.get(fd, IPPROTO_TCP, name) == 7);
    }
    CHECK(on.set(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 20'000) == 0);
    CHECK(on.get(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT) == 20'000);
    CHECK(on.set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 3'000) == 0);
    CHECK(on.get(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) == 3'000);
    CHECK(on.set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, -1) == -EINVAL);
}

TEST_CASE_TEMPLATE("an accepted connection has the listener's options", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd plain = on.socket();
    const owned_fd listener = on.socket();
    for (const auto& [level, name] : switches) CHECK(on.set(listener, level, name, 1) == 0);
    for (const auto& [level, name] : numbers) CHECK(on.set(listener, level, name, 12'345) == 0);
    const linger ten{1, 10};
    CHECK(on.os().set_option(listener, SOL_SOCKET, SO_LINGER, &ten, sizeof ten) == 0);
    REQUIRE(on.bind(listener, "127.0.0.1:0") == 0);
    REQUIRE(on.os().listen(listener, 4) == 0);
    const owned_fd client = on.connect_to(on.local(listener));
    const owned_fd server = on.accept_soon(listener);
    const auto is_inherited = [&](option each) {
        const auto [level, name] = each;
        CAPTURE(level);
        CAPTURE(name);
        CHECK(on.get(server, level, name) == on.get(listener, level, name));
        CHECK(on.get(server, level, name) != on.get(plain, level, name));
    };
    for (const option& each : switches) is_inherited(each);
    for (const option& each : numbers) is_inherited(each);
    linger value{};
    unsigned size = sizeof value;
    CHECK(on.os().get_option(server, SOL_SOCKET, SO_LINGER, &value, &size) == 0);
    CHECK(value.l_onoff == 1);
    CHECK(value.l_linger == 10);
    CHECK(on.get(server, SOL_SOCKET, SO_ACCEPTCONN) == 0);
}

TEST_CASE_TEMPLATE("what is no signal cannot be subscribed to, nor what cannot be caught", Platform, EVERY_PLATFORM) {
    Platform on;
    const owned_fd event = on.event();
    cove::signal_mailbox box;
    box.event_fd = event;
    for (const int signo : {0, -1, 65, SIGKILL, SIGSTOP}) CHECK(on.os().subscribe(signo, box) == -EINVAL);
    CHECK(box.wanted.load() == 0);
    CHECK(on.os().subscribe(SIGUSR1, box) == 0);
    CHECK(on.os().subscribe(SIGUSR2, box) == 0);
    CHECK(box.wanted.load() == ((std::uint64_t{1} << (SIGUSR1 - 1)) | (std::uint64_t{1} << (SIGUSR2 - 1))));
    on.os().unsubscribe(SIGUSR1, box);
    CHECK(box.wanted.load() == std::uint64_t{1} << (SIGUSR2 - 1));
    on.os().unsubscribe(SIGUSR2, box);
    CHECK(box.wanted.load() == 0);
    CHECK(on.bits(event) == "OUT");
}
