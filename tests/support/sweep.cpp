#include <support/sweep.hpp>

#include <cove/runtime/async_stack.hpp>
#include <cove/runtime/cancel_scope.hpp>
#include <cove/runtime/detail/frame_recycler.hpp>
#include <cove/runtime/loop.hpp>
#include <cove/runtime/task_group.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <system_error>

namespace test {
namespace {

// A run that takes more turns than this does not end.
constexpr int turns_max = 100'000;

cove::task<> act(const std::function<cove::task<>()>& body, std::string& failure) {
    try {
        cove::task<> made = body();
        co_await made;
    } catch (const cove::canceled&) {
        throw;
    } catch (const std::exception& error) {
        failure = std::string("an actor threw: ") + error.what();
    }
}

}  // namespace

bool stage::all_unharmed() const {
    for (const fate each : fates_)
        if (each != fate::unharmed) return false;
    return true;
}

class sweeper {
public:
    sweeper(const std::function<void(stage&)>& scenario, cove::duration patience)
        : scenario_(scenario), patience_(patience) {}

    std::size_t strike_once() {
        run_once({});
        list_strikes();
        for (const strike& each : strikes_) {
            const auto once = [&](std::size_t moment) { return run_once({{&each, moment}}); };
            visit_from(0, once);
        }
        return visited_;
    }

    std::size_t strike_twice() {
        strike_once();
        for (const strike& first : strikes_) {
            for (const strike& second : strikes_) {
                const auto both = [&](std::size_t moment) {
                    const auto then = [&](std::size_t later) { return run_once({{&first, moment}, {&second, later}}); };
                    return visit_from(moment, then) > 0;
                };
                visit_from(0, both);
            }
        }
        return visited_;
    }

private:
    using group_list = std::vector<std::optional<cove::task_group>>;

    struct strike {
        std::string what;
        std::function<void(stage&, group_list&)> happens;
    };
    struct planned {
        const strike* what;
        std::size_t moment;
    };

    void list_strikes() {
        stage counted;
        scenario_(counted);
        for (std::size_t i = 0; i < counted.actors_.size(); ++i) {
            strikes_.push_back({"cancel actor " + std::to_string(i), [i](stage& here, group_list& actors) {
                                    if (!actors[i]) return;
                                    actors[i]->cancel();
                                    here.fates_[i] = stage::fate::canceled;
                                }});
            strikes_.push_back({"destroy actor " + std::to_string(i), [i](stage& here, group_list& actors) {
                                    actors[i].reset();
                                    here.fates_[i] = stage::fate::destroyed;
                                }});
        }
        strikes_.push_back({"cancel all", [](stage& here, group_list& actors) {
                                for (std::size_t i = 0; i < actors.size(); ++i) {
                                    if (!actors[i]) continue;
                                    actors[i]->cancel();
                                    here.fates_[i] = stage::fate::canceled;
                                }
                            }});
        for (std::size_t i = 0; i < counted.mishaps_.size(); ++i)
            strikes_.push_back({"mishap " + std::to_string(i), [i](stage& here, group_list&) { here.mishaps_[i](); }});
    }

    // Calls run(moment) for every moment from the first on, until one run is over before its moment has come. Returns how
    // many were not.
    template <class Run>
    std::size_t visit_from(std::size_t first, Run run) {
        std::size_t moment = first;
        while (run(moment)) ++moment;
        return moment - first;
    }

    // Returns whether all that was planned has happened.
    bool run_once(const std::vector<planned>& plan) {
        std::string planned_text;
        for (const planned& each : plan)
            planned_text += each.what->what + " at moment " + std::to_string(each.moment) + "; ";
        INFO("plan: " << planned_text);
        const long frames = cove::detail::frames.live();
        const bool all = perform(plan);
        CHECK(cove::detail::frames.live() == frames);
        if (all && !plan.empty()) ++visited_;
        return all;
    }

    bool perform(const std::vector<planned>& plan) {
        test_kernel os;
        os.stuck_after = patience_;
        os.settle = std::min(os.settle, patience_);
        cove::loop here(os);
        const cove::loop::running_guard guard(here);
        stage stage;
        scenario_(stage);
        stage.fates_.assign(stage.actors_.size(), stage::fate::unharmed);
        std::vector<std::string> failures(stage.actors_.size());
        group_list actors(stage.actors_.size());
        for (std::size_t i = 0; i < actors.size(); ++i) {
            actors[i].emplace(here.root_scope());
            actors[i]->spawn(act(stage.actors_[i], failures[i]));
        }

        stage.alive_ = [&actors](std::size_t i) { return actors[i] && actors[i]->size() > 0; };

        std::size_t struck = 0;
        bool unblocked = false;
        std::size_t moments = 0;
        for (int turns = 0; anybody_left(actors);) {
            if (struck < plan.size() && plan[struck].moment == moments) {
                plan[struck++].what->happens(stage, actors);
                continue;
            }
            // After each coroutine comes a moment, and after each turn's beginning, in which messages, timers and the
            // kernel's events have called some of them.
            if (here.run_next() || (++turns <= turns_max && begin_turn(here))) {
                ++moments;
                continue;
            }
            if (unblocked || !stage.unblock_) FAIL("left waiting:\n" << cove::async_stacks(here.root_scope()));
            stage.unblock_();
            unblocked = true;
        }
        for (const std::string& failure : failures) CHECK(failure == "");
        actors.clear();
        if (stage.check_) stage.check_();
        return struck == plan.size();
    }

    // Returns false if nothing can ever happen again.
    static bool begin_turn(cove::loop& here) {
        try {
            here.begin_turn();
            return true;
        } catch (const std::system_error& error) {
            if (error.code() == std::errc::resource_deadlock_would_occur) return false;
            throw;
        }
    }

    static bool anybody_left(const group_list& actors) {
        for (const auto& group : actors)
            if (group && group->size() > 0) return true;
        return false;
    }

    const std::function<void(stage&)>& scenario_;
    const cove::duration patience_;
    std::vector<strike> strikes_;
    std::size_t visited_ = 0;
};

namespace {

std::size_t report(std::size_t visited) {
    std::printf("sweep: %zu points visited\n", visited);
    CHECK(visited > 1);
    return visited;
}

}  // namespace

std::size_t sweep(const std::function<void(stage&)>& scenario, cove::duration patience) {
    return report(sweeper(scenario, patience).strike_once());
}

std::size_t sweep_twice(const std::function<void(stage&)>& scenario) {
    return report(sweeper(scenario, cove::duration::zero()).strike_twice());
}

}  // namespace test
