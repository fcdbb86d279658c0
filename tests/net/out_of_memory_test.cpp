// Every allocation of a running server fails once, in turn: the program goes on or ends in order, and leaks nothing.

#include <cove/net/line_reader.hpp>
#include <cove/net/outbox.hpp>
#include <cove/net/serve.hpp>
#include <cove/runtime/detail/frame_recycler.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>
#include <support/net.hpp>

#include <new>
#include <optional>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

// A session that uses most of the floor: it answers each line through an outbox.
cove::task<> answer_lines(cove::tcp_stream peer) {
    cove::outbox answers;
    cove::task_group writer;
    writer.spawn(answers.write_to(peer));
    cove::line_reader lines(peer);
    while (const auto line = co_await lines.read_line()) answers.try_push(cove::message({"you said ", *line, "\n"}));
    answers.close();
    co_await writer.join();
}

// Asks until it is answered, as a client does whose connection was lost.
cove::task<int> ask(const cove::address& server) {
    int lost = 0;
    for (;; ++lost) {
        try {
            cove::tcp_stream peer = co_await cove::timeout(10s, cove::tcp_stream::connect(server));
            co_await peer.write("hello\n");
            peer.shutdown_write();
            if (co_await cove::timeout(10s, test::read_all(peer)) == "you said hello\n") co_return lost;
        } catch (const std::bad_alloc&) {
        } catch (const std::system_error&) {
        }
    }
}

cove::task<> serve_and_ask(long others, std::optional<int>& lost, bool& swept) {
    cove::tcp_listener listener = cove::tcp_listener::bind("127.0.0.1:0");
    const cove::address where = listener.local_address();
    cove::task_group server;
    server.spawn(cove::serve(std::move(listener), answer_lines));
    test::fail_allocation_after(others);
    auto asked = ask(where);
    lost = co_await asked;
    swept = test::fail_allocation_after(-1) >= 0;
    server.cancel();
    co_await server.join();
}

}  // namespace

TEST_CASE("a server outlives the failure of any one of its allocations" * doctest::skip(!test::counts_allocations)) {
    cove::run_options options;
    options.stop_on_signals = false;
    bool swept = false;
    long points = 0;
    for (; !swept; ++points) {
        REQUIRE(points < 10'000);
        std::optional<int> lost;
        bool failed = false;
        // A new thread has no recycled frames: each is asked of the heap. On Linux itself, because a test_kernel allocates.
        std::thread([&] {
            try {
                cove::run(serve_and_ask(points, lost, swept), options);
            } catch (const std::bad_alloc&) {
                failed = true;
            }
            test::fail_allocation_after(-1);
            CHECK(cove::detail::frames.live() == 0);
        }).join();
        if (failed)
            CHECK(!lost.has_value());  // one of the test's own frames, before anybody was asked
        else
            CHECK(lost.value() <= 1);
    }
    CHECK(points > 10);
    MESSAGE(points, " allocations failed in turn");
}
