// Runs a scenario again and again, and in each run strikes it at another moment: between any coroutine and the next one
// that the loop resumes, an actor is canceled, or destroyed, or a descriptor is closed under it. After every run
// everybody must have come to an end, nothing may be left, and the scenario's own checks must hold.
//
//     test::sweep([](test::stage& stage) {
//         auto& queue = stage.make<cove::channel<int>>(1);      // afresh for every run; outlives the actors
//         stage.actor([&]() -> cove::task<> { ... });           // struck in turn
//         stage.unblock([&] { queue.close(); });                // what lets go those who wait with good reason
//         stage.check([&] { CHECK(...); });                     // after everybody has ended
//     });

#pragma once

#include <cove/runtime/clock.hpp>
#include <cove/runtime/task.hpp>

#include <support/test_kernel.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <utility>
#include <vector>

namespace test {

class stage {
public:
    enum class fate : unsigned char { unharmed, canceled, destroyed };

    // Makes something that all of the run shares. It is destroyed after the actors, the last made first.
    template <class T, class... Arguments>
    T& make(Arguments&&... arguments) {
        auto made = std::make_shared<T>(std::forward<Arguments>(arguments)...);
        T& reference = *made;
        props_.push_back(std::move(made));
        return reference;
    }

    // Adds a coroutine that is begun at once, and struck in some of the runs. It must let `canceled` pass, and throw nothing
    // else.
    void actor(std::function<cove::task<>()> body) { actors_.push_back(std::move(body)); }

    // Adds something else that may happen at any moment, such as the close of a descriptor.
    void mishap(std::function<void()> happens) { mishaps_.push_back(std::move(happens)); }

    // Sets what is done when nobody can go on: an actor that waits for one who was struck waits with good reason.
    void unblock(std::function<void()> lets_go) { unblock_ = std::move(lets_go); }

    // Sets what must hold when everybody has ended.
    void check(std::function<void()> holds) { check_ = std::move(holds); }

    // What has become of the actor with this number, and whether it has not ended yet: who still waits when nobody can go on,
    // must wait for what is not there.
    fate fate_of(std::size_t actor) const { return fates_.at(actor); }
    bool is_alive(std::size_t actor) const { return alive_(actor); }
    bool all_unharmed() const;

private:
    friend class sweeper;

    std::vector<std::shared_ptr<void>> props_;
    std::vector<std::function<cove::task<>()>> actors_;
    std::vector<std::function<void()>> mishaps_;
    std::vector<fate> fates_;
    std::function<bool(std::size_t)> alive_;
    std::function<void()> unblock_;
    std::function<void()> check_;
};

// Strikes once in every run. Returns how often, and prints it; failures are doctest's.
// patience: how long nothing may happen, on the real clock, before everybody counts as waiting for ever: more than a moment
// where threads or sockets take part.
std::size_t sweep(const std::function<void(stage&)>& scenario, cove::duration patience = std::chrono::milliseconds(2));

// Strikes two blows as well, each pair of them at each pair of moments: some tens of thousands of runs, for what neither
// threads nor sockets take part in.
std::size_t sweep_twice(const std::function<void(stage&)>& scenario);

}  // namespace test
