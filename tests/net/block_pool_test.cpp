#include <cove/net/buffer.hpp>
#include <cove/runtime/remote_channel.hpp>

#include <support/allocations.hpp>
#include <support/child.hpp>

#include <doctest/doctest.h>

#include <csignal>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

using cove::buffer;

namespace {

buffer filled(std::size_t size_bytes, char with) {
    buffer some = buffer::take();
    std::memset(some.data(), with, size_bytes);
    some.set_size(size_bytes);
    return some;
}

void end_elsewhere(std::vector<buffer> buffers) {
    std::thread([moved = std::move(buffers)]() mutable { moved.clear(); }).join();
}

}  // namespace

TEST_CASE("a buffer that ended on another thread is used again by the one it came from") {
    buffer::free_cached();
    std::vector<buffer> passed;
    passed.push_back(filled(5, 'a'));
    char* const last = passed.back().data();
    end_elsewhere(std::move(passed));
    CHECK(buffer::take().data() == last);

    passed.clear();
    passed.push_back(filled(5, 'a'));
    char* const held = passed.back().data();
    { const buffer another = filled(5, 'b'); }  // the first one is being held, then
    end_elsewhere(std::move(passed));
    buffer one = buffer::take();
    buffer two = buffer::take();
    CHECK(one.data() != held);
    CHECK(two.data() == held);
}

TEST_CASE("so many buffers that their pool forgets some can end on another thread") {
    if (!test::counts_allocations) return;
    for (int round = 0; round < 3; ++round) {
        std::vector<buffer> many;
        for (int i = 0; i < 50; ++i) many.push_back(filled(static_cast<std::size_t>(1 + 3000 * i), 'm'));
        end_elsewhere(std::move(many));
    }
    const long before = test::allocations();
    { const buffer again = filled(buffer::capacity, 'n'); }
    CHECK(test::allocations() <= before + 1);
}

TEST_CASE("buffers keep their bytes after the thread that took them has ended") {
    std::vector<buffer> left;
    std::thread([&] {
        for (int i = 0; i < 30; ++i)
            left.push_back(filled(static_cast<std::size_t>(1 + 1000 * i), static_cast<char>('a' + i)));
    }).join();
    for (int i = 0; i < 30; ++i)
        CHECK(left[static_cast<std::size_t>(i)].view() ==
              std::string(static_cast<std::size_t>(1 + 1000 * i), static_cast<char>('a' + i)));
    left.front().set_size(1);
}

TEST_CASE("a buffer on another thread can shrink, and one that grows there ends the program, saying why") {
    const auto resizes_elsewhere = [](std::size_t size_bytes) {
        return test::in_child([size_bytes] {
            buffer some = filled(100, 's');
            std::thread([&] { some.set_size(size_bytes); }).join();
            return static_cast<int>(some.size());
        });
    };
    CHECK(resizes_elsewhere(7).status == 7);
    const test::child_end grown = resizes_elsewhere(101);
    CHECK(grown.status == -SIGABRT);
    CHECK(grown.said.find("a buffer can grow only on the thread that has taken it") != std::string::npos);
}

TEST_CASE("threads that pass buffers on find in them what was written, while their pools trim them") {
    constexpr int rounds = 2000;
    cove::remote_channel<buffer> channel(12);
    std::thread writer([channel]() mutable {
        for (int i = 0; i < rounds; ++i)
            channel.send_blocking(filled(static_cast<std::size_t>(1 + i * 37 % 20000), static_cast<char>(i)));
        channel.close();
    });
    int received = 0, wrong = 0;
    std::vector<buffer> kept;
    while (std::optional<buffer> next = channel.receive_blocking()) {
        const std::string expected(static_cast<std::size_t>(1 + received * 37 % 20000), static_cast<char>(received));
        if (next->view() != expected) ++wrong;
        ++received;
        if (received % 3 == 0) kept.push_back(std::move(*next));
        if (kept.size() > 20) kept.clear();
    }
    writer.join();
    CHECK(received == rounds);
    CHECK(wrong == 0);
}
