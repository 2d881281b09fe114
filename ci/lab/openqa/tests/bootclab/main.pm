# Looks at the untouched disk under test from outside: boots it and talks to it over SSH.
use Mojo::Base -strict, -signatures;
use testapi;
use autotest;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/lib';
use bootclab;
use guest;

testapi::set_distribution(bootclab->new);
if (get_var('BACKEND', '') eq 'null') {
    # no machine: for trying out what surrounds the tests
    autotest::loadtest 'tests/no_machine.pm', name => $_ for split / /, get_var('MODULES', 'no_machine');
}
else {
    guest::open_the_door();
    autotest::loadtest "tests/$_.pm" for split / /, get_var('MODULES', 'boot regression');
}
1;
