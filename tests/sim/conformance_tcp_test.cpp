// What every kernel answers about a TCP connection: data, back-pressure, half-close, end and reset.

#include <support/platform.hpp>

using cove::kernel;
using test::owned_fd;
using test::poller;

TEST_CASE_TEMPLATE("data comes out in its order, in pieces of any size", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    CHECK(on.receive(pair.left) == -EAGAIN);
    CHECK(on.send(pair.right, "abc") == 3);
    CHECK(on.send(pair.right, "defgh") == 5);
    CHECK(on.read(pair.left, 2) == "ab");
    CHECK(on.read(pair.left, 4) == "cdef");
    CHECK(on.eventually([&] { return on.receive(pair.left) == 2; }));
    CHECK(on.receive(pair.left) == -EAGAIN);
    CHECK(on.send(pair.left, "back") == 4);
    CHECK(on.read(pair.right, 4) == "back");
}

TEST_CASE_TEMPLATE("one receive takes what several sends brought", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    for (const char* piece : {"one", "two", "three"}) CHECK(on.send(pair.right, piece) > 0);
    on.settle();
    CHECK(on.receive(pair.left) == 11);
}

TEST_CASE_TEMPLATE("a send of nothing is 0 and no event, as long as one could send", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.left, kernel::event_in) == 0);
    CHECK(on.send(pair.right, "") == 0);
    CHECK(on.os().send_message(pair.right, msghdr{}) == 0);
    CHECK(set.is_silent());
    CHECK(on.os().shutdown(pair.right, SHUT_WR) == 0);
    CHECK(on.send(pair.right, "") == -EPIPE);
    CHECK(on.os().send_message(pair.right, msghdr{}) == -EPIPE);
}

TEST_CASE_TEMPLATE("a receive of nothing is 0 where there is data, and EAGAIN where there is none", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    CHECK(on.receive(pair.left, 0) == -EAGAIN);
    CHECK(on.send(pair.right, "x") == 1);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    CHECK(on.receive(pair.left, 0) == 0);
    CHECK(on.read(pair.left, 1) == "x");
    CHECK(on.receive(pair.left, 0) == -EAGAIN);
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(pair.left, 0) == -ECONNRESET);
    CHECK(on.receive(pair.left, 0) == 0);
}

TEST_CASE_TEMPLATE("send_message sends all parts in their order, and empty ones are nothing", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    char text[] = "abcdef";
    iovec parts[] = {{text, 0}, {text, 2}, {nullptr, 0}, {text + 2, 1}, {text + 3, 3}, {text, 0}};
    msghdr message{};
    message.msg_iov = parts;
    message.msg_iovlen = std::size(parts);
    CHECK(on.os().send_message(pair.right, message) == 6);
    CHECK(on.read(pair.left, 6) == "abcdef");
    message.msg_iovlen = 1;
    CHECK(on.os().send_message(pair.right, message) == 0);
    std::vector<iovec> many(1025, iovec{text, 1});
    message.msg_iov = many.data();
    message.msg_iovlen = 1024;
    CHECK(on.os().send_message(pair.right, message) == 1024);
    message.msg_iovlen = 1025;
    CHECK(on.os().send_message(pair.right, message) == -EMSGSIZE);
    CHECK(on.read(pair.left, 1024) == std::string(1024, 'a'));
}

TEST_CASE_TEMPLATE("a send takes what there is room for, then nothing: EAGAIN, and not writable", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    const std::string large(64'000'000, 'x');
    const long taken = on.send(pair.right, large);
    CHECK(taken > 0);
    CHECK(taken < static_cast<long>(large.size()));
    const std::size_t sum = static_cast<std::size_t>(taken) + on.fill(pair.right);
    CHECK(on.bits(pair.right) == "");
    CHECK(on.bits(pair.left) == "IN OUT");
    CHECK(on.read(pair.left, sum).size() == sum);
    CHECK(on.bits_soon(pair.right) == "OUT");
    CHECK(on.send(pair.right, "x") == 1);
}

TEST_CASE_TEMPLATE("the edge of OUT comes when much has been read, once, to who met EAGAIN", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.right, test::any_edge) == 0);
    CHECK(set.bits_now() == "OUT");
    const std::size_t sum = on.fill(pair.right);
    set.events_now();  // there may have been some before the receiver's buffer was full
    CHECK(on.read(pair.left, 1) == "x");
    CHECK(set.is_silent());
    CHECK(on.bits(pair.right) == "");
    CHECK(on.read(pair.left, sum - 1).size() == sum - 1);
    CHECK(on.eventually([&] { return set.bits_now() == "OUT"; }));
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("the edge of OUT comes also to who has sent a part only, and not tried again", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.right, kernel::event_out | kernel::event_edge) == 0);
    CHECK(set.bits_now() == "OUT");
    const std::string large(64'000'000, 'x');
    const long taken = on.send(pair.right, large);
    REQUIRE(taken > 0);
    CHECK(taken < static_cast<long>(large.size()));
    CHECK(on.read(pair.left, static_cast<std::size_t>(taken)).size() == static_cast<std::size_t>(taken));
    CHECK(on.eventually([&] { return set.bits_now() == "OUT"; }));
}

TEST_CASE_TEMPLATE("who fills a buffer without meeting EAGAIN hears nothing of its emptying", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    poller set(on);
    CHECK(set.add(pair.right, test::any_edge) == 0);
    CHECK(set.bits_now() == "OUT");
    CHECK(on.send(pair.right, std::string(1000, 'x')) == 1000);
    CHECK(on.read(pair.left, 1000).size() == 1000);
    CHECK(set.is_silent());
}

TEST_CASE_TEMPLATE("with TCP_NOTSENT_LOWAT a socket is not writable while that much is unsent, but takes more",
                   Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    const test::ends plain = on.connected_pair();
    CHECK(on.set(pair.right, IPPROTO_TCP, TCP_NOTSENT_LOWAT, 16'384) == 0);
    const std::string piece(16'384, 'x');
    std::size_t sum = 0;
    CHECK(on.eventually([&] {
        for (int i = 0; i < 100 && on.bits(pair.right) == "OUT"; ++i) {
            const long count = on.send(pair.right, piece);
            if (count > 0) sum += static_cast<std::size_t>(count);
        }
        on.settle();
        return on.bits(pair.right) == "";
    }));
    CHECK(sum < on.fill(plain.right));
    CHECK(on.send(pair.right, "more") == 4);
    CHECK(on.read(pair.left, sum + 4).size() == sum + 4);
    CHECK(on.bits_soon(pair.right) == "OUT");
}

TEST_CASE_TEMPLATE("the end comes after the data, stays, and leaves the other direction open", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    CHECK(on.send(pair.right, "bye") == 3);
    CHECK(on.os().shutdown(pair.right, SHUT_WR) == 0);
    CHECK(on.bits_soon(pair.left) == "IN OUT RDHUP");
    CHECK(on.bits(pair.right) == "OUT");  // a send would not wait
    CHECK(on.read(pair.left, 3) == "bye");
    CHECK(on.bits(pair.left) == "IN OUT RDHUP");
    for (int i = 0; i < 3; ++i) CHECK(on.receive(pair.left) == 0);
    CHECK(on.send(pair.right, "x") == -EPIPE);
    CHECK(on.error_of(pair.right) == 0);
    CHECK(on.send(pair.left, "answer") == 6);
    CHECK(on.read(pair.right, 6) == "answer");
    CHECK(on.is_connected(pair.left));
    CHECK(on.is_connected(pair.right));
}

TEST_CASE_TEMPLATE("when both ends have shut down writing both tell HUP, and the first one has no peer any more",
                   Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    CHECK(on.os().shutdown(pair.right, SHUT_WR) == 0);
    CHECK(on.os().shutdown(pair.right, SHUT_WR) == 0);
    CHECK(on.bits_soon(pair.left) == "IN OUT RDHUP");
    CHECK(on.os().shutdown(pair.left, SHUT_WR) == 0);
    CHECK(on.bits(pair.left) == "IN OUT HUP RDHUP");
    CHECK(on.bits_soon(pair.right) == "IN OUT HUP RDHUP");
    for (const int fd : {int{pair.left}, int{pair.right}}) {
        CHECK(on.receive(fd) == 0);
        CHECK(on.send(fd, "x") == -EPIPE);
        CHECK(on.error_of(fd) == 0);
        CHECK(on.eventually([&] { return on.peer_result(fd) == -ENOTCONN; }));
        CHECK(on.os().shutdown(fd, SHUT_WR) == -ENOTCONN);
        CHECK(on.local(fd).port() != 0);
    }
}

TEST_CASE_TEMPLATE("after SHUT_RD a receive ends, but data that is there or comes late is received", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    CHECK(on.send(pair.right, "early") == 5);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    CHECK(on.os().shutdown(pair.left, SHUT_RD) == 0);
    CHECK(on.bits(pair.left) == "IN OUT RDHUP");
    CHECK(on.read(pair.left, 5) == "early");
    CHECK(on.receive(pair.left) == 0);
    CHECK(on.bits(pair.right) == "OUT");  // the peer is not told
    CHECK(on.send(pair.right, "late") == 4);
    CHECK(on.eventually([&] { return on.receive(pair.left) == 4; }));
    CHECK(on.receive(pair.left) == 0);
    CHECK(on.os().shutdown(pair.left, SHUT_RD) == 0);
    CHECK(on.send(pair.left, "answer") == 6);
    CHECK(on.read(pair.right, 6) == "answer");
}

TEST_CASE_TEMPLATE("SHUT_RDWR ends both directions, and may be repeated", Platform, EVERY_PLATFORM) {
    Platform on;
    const test::ends pair = on.connected_pair();
    CHECK(on.os().shutdown(pair.left, SHUT_RDWR) == 0);
    CHECK(on.bits(pair.left) == "IN OUT HUP RDHUP");
    CHECK(on.receive(pair.left) == 0);
    CHECK(on.send(pair.left, "x") == -EPIPE);
    CHECK(on.os().shutdown(pair.left, SHUT_RDWR) == 0);
    CHECK(on.os().shutdown(pair.left, SHUT_RD) == 0);
    CHECK(on.os().shutdown(pair.left, 3) == -EINVAL);
    CHECK(on.bits_soon(pair.right) == "IN OUT RDHUP");
    CHECK(on.receive(pair.right) == 0);
    CHECK(on.is_connected(pair.left));
}

TEST_CASE_TEMPLATE("what was sent before a close arrives, however much it is, and then the end", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    const std::size_t sum = on.fill(pair.right);
    CHECK(pair.right.close() == 0);
    on.settle();
    CHECK(on.bits(pair.left) == "IN OUT");  // the end stands in line behind the data
    CHECK(on.read(pair.left, sum).size() == sum);
    CHECK(on.receive_soon(pair.left) == 0);
    CHECK(on.bits(pair.left) == "IN OUT RDHUP");
}

TEST_CASE_TEMPLATE("the first send to a peer that has closed succeeds, the next is EPIPE", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    CHECK(pair.right.close() == 0);
    CHECK(on.bits_soon(pair.left) == "IN OUT RDHUP");
    CHECK(on.send(pair.left, "x") == 1);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(pair.left) == 0);  // the end came before the reset
    CHECK(on.bits(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.send(pair.left, "x") == -EPIPE);
    CHECK(on.bits(pair.left) == "IN OUT HUP RDHUP");
    CHECK(on.send(pair.left, "x") == -EPIPE);
    CHECK(on.receive(pair.left) == 0);
    CHECK(on.peer_result(pair.left) == -ENOTCONN);
}

TEST_CASE_TEMPLATE("an end and then a reset is EPIPE to SO_ERROR, and the end to a receive", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    CHECK(on.send(pair.right, "data") == 4);
    CHECK(on.os().shutdown(pair.right, SHUT_WR) == 0);
    CHECK(on.bits_soon(pair.left) == "IN OUT RDHUP");
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(pair.left) == 4);
    CHECK(on.receive(pair.left) == 0);
    CHECK(on.error_of(pair.left) == EPIPE);
    CHECK(on.error_of(pair.left) == 0);
    CHECK(on.receive(pair.left) == 0);
}

TEST_CASE_TEMPLATE("data and then a reset read as data, ECONNRESET, end of stream", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    CHECK(on.send(pair.right, "hello") == 5);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(pair.left, 3) == 3);
    CHECK(on.receive(pair.left, 3) == 2);
    CHECK(on.receive(pair.left) == -ECONNRESET);
    CHECK(on.receive(pair.left) == 0);
    CHECK(on.bits(pair.left) == "IN OUT HUP RDHUP");
}

TEST_CASE_TEMPLATE("SO_ERROR read first takes the reset away from the reader", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    CHECK(on.send(pair.right, "hello") == 5);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.error_of(pair.left) == ECONNRESET);
    CHECK(on.error_of(pair.left) == 0);
    CHECK(on.bits(pair.left) == "IN OUT HUP RDHUP");
    CHECK(on.receive(pair.left) == 5);
    CHECK(on.receive(pair.left) == 0);
}

TEST_CASE_TEMPLATE("after a reset a send is ECONNRESET once, then EPIPE, and there is no peer", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.peer_result(pair.left) == -ENOTCONN);
    for (const int how : {SHUT_RD, SHUT_WR, SHUT_RDWR}) CHECK(on.os().shutdown(pair.left, how) == -ENOTCONN);
    CHECK(on.bits(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.send(pair.left, "x") == -ECONNRESET);
    CHECK(on.bits(pair.left) == "IN OUT HUP RDHUP");
    CHECK(on.send(pair.left, "x") == -EPIPE);
    CHECK(on.receive(pair.left) == 0);
    CHECK(on.error_of(pair.left) == 0);
}

TEST_CASE_TEMPLATE("a close with unread input resets the peer, after what was sent to it", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    CHECK(on.send(pair.right, "request") == 7);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    CHECK(on.send(pair.left, "response") == 8);
    CHECK(on.bits_soon(pair.right) == "IN OUT");
    CHECK(pair.left.close() == 0);
    CHECK(on.bits_soon(pair.right) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(pair.right) == 8);
    CHECK(on.receive(pair.right) == -ECONNRESET);
    CHECK(on.receive(pair.right) == 0);
}

TEST_CASE_TEMPLATE("a reset overtakes nothing that has arrived, and drops what has not", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    const std::size_t sum = on.fill(pair.right);
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    std::size_t arrived = 0;
    long count = 0;
    while ((count = on.receive(pair.left, 65'536)) > 0) arrived += static_cast<std::size_t>(count);
    CHECK(count == -ECONNRESET);
    CHECK(arrived > 0);
    CHECK(arrived < sum);
}

TEST_CASE_TEMPLATE("a reset wakes a writer that met EAGAIN", Platform, EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    on.fill(pair.left);
    poller set(on);
    CHECK(set.add(pair.left, kernel::event_out | kernel::event_edge) == 0);
    CHECK(set.bits_now() == "");
    CHECK(pair.right.close() == 0);  // with unread input
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(set.bits_now() == "OUT ERR HUP");
    CHECK(on.send(pair.left, "x") == -ECONNRESET);
}

TEST_CASE_TEMPLATE("of data that comes to a socket already closed the sender learns by a reset", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    CHECK(on.os().shutdown(pair.left, SHUT_WR) == 0);
    CHECK(on.bits_soon(pair.right) == "IN OUT RDHUP");
    CHECK(on.send(pair.right, "unread") == 6);
    CHECK(on.bits_soon(pair.left) == "IN OUT");
    CHECK(pair.left.close() == 0);
    CHECK(on.bits_soon(pair.right) == "IN OUT ERR HUP RDHUP");
    CHECK(on.receive(pair.right) == 0);
    CHECK(on.error_of(pair.right) == EPIPE);
}

TEST_CASE_TEMPLATE("after one's own end a reset is still ECONNRESET, to whatever comes first", Platform,
                   EVERY_PLATFORM) {
    Platform on;
    test::ends pair = on.connected_pair();
    CHECK(on.os().shutdown(pair.left, SHUT_WR) == 0);
    CHECK(on.bits_soon(pair.right) == "IN OUT RDHUP");
    CHECK(on.send(pair.left, "x") == -EPIPE);
    on.close_by_reset(pair.right);
    CHECK(on.bits_soon(pair.left) == "IN OUT ERR HUP RDHUP");
    CHECK(on.send(pair.left, "x") == -ECONNRESET);
    CHECK(on.receive(pair.left) == 0);
}
