<?php

// v1
