// Items leave in the order they came in, round and round the same memory, and each is destroyed once.

#include <cove/runtime/detail/ring.hpp>

#include <doctest/doctest.h>
#include <support/allocations.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <new>
#include <utility>

namespace {

// Counts those that live.
struct counted {
    counted(int number, int& count) noexcept : value(number), alive(&count) { ++*alive; }
    counted(counted&& other) noexcept : value(std::exchange(other.value, -1)), alive(other.alive) { ++*alive; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    ~counted() { --*alive; }

    int value;
    int* alive;
};

struct alignas(128) wide {
    int value;
};

}  // namespace

TEST_CASE("a ring gives its items first in, first out, however often it goes round") {
    for (std::size_t capacity = 1; capacity <= 5; ++capacity) {
        CAPTURE(capacity);
        cove::detail::ring<std::unique_ptr<int>> items(capacity);
        CHECK(items.capacity() == capacity);
        int pushed = 0;
        int popped = 0;
        for (int round = 0; round < 20; ++round) {
            while (items.size() < capacity) items.push(std::make_unique<int>(pushed++));
            for (std::size_t i = 0; i < capacity; ++i) CHECK(*items[i] == popped + static_cast<int>(i));
            const std::size_t left = static_cast<std::size_t>(round) % capacity;
            while (items.size() > left) CHECK(*items.pop() == popped++);
        }
    }
}

TEST_CASE("an index counts from the first item, across the end of the memory") {
    cove::detail::ring<int> items(3);
    for (int value = 0; value < 3; ++value) items.push(int(value));
    items.drop();
    items.drop();
    items.push(3);
    items.push(4);
    CHECK(items[0] == 2);
    CHECK(items[1] == 3);
    CHECK(items[2] == 4);
    items[1] = 30;
    items.drop();
    CHECK(items.pop() == 30);
    CHECK(items.pop() == 4);
    CHECK(items.size() == 0);
}

TEST_CASE("each item is destroyed once: when it is popped, dropped, or the ring goes") {
    int alive = 0;
    {
        cove::detail::ring<counted> items(3);
        CHECK(alive == 0);
        for (int value = 0; value < 3; ++value) items.push(counted(value, alive));
        CHECK(alive == 3);
        CHECK(items.pop().value == 0);
        CHECK(alive == 2);
        items.drop();
        CHECK(alive == 1);
        items.push(counted(3, alive));
        items.push(counted(4, alive));  // across the end
        CHECK(alive == 3);
    }
    CHECK(alive == 0);
}

TEST_CASE("a ring of no capacity is empty and takes no memory") {
    const long start = test::allocations();
    const cove::detail::ring<int> none(0);
    if (test::counts_allocations) CHECK(test::allocations() == start);
    CHECK(none.size() == 0);
    CHECK(none.capacity() == 0);
}

TEST_CASE("a ring takes its memory once" * doctest::skip(!test::counts_allocations)) {
    const long start = test::allocations();
    cove::detail::ring<int> items(4);
    CHECK(test::allocations() == start + 1);
    for (int value = 0; value < 100; ++value) {
        items.push(int(value));
        if (items.size() == 4) items.drop();
    }
    CHECK(test::allocations() == start + 1);
}

TEST_CASE("a capacity that memory cannot hold throws bad_alloc") {
    const auto make = [](std::size_t capacity) {
        const cove::detail::ring<std::uint64_t> made(capacity);
        test::escape(&made);
    };
    CHECK_THROWS_AS(make(std::numeric_limits<std::size_t>::max()), std::bad_alloc);
    if (test::counts_allocations) {
        test::fail_allocation_after(0);
        CHECK_THROWS_AS(make(4), std::bad_alloc);
        test::fail_allocation_after(-1);
    }
}

TEST_CASE("items of extended alignment are aligned in the ring") {
    cove::detail::ring<wide> items(3);
    for (int value = 0; value < 3; ++value) items.push(wide{value});
    for (std::size_t i = 0; i < 3; ++i) CHECK(reinterpret_cast<std::uintptr_t>(&items[i]) % alignof(wide) == 0);
}
