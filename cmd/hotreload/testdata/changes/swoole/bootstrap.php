<?php

const BOOTSTRAP = 'bootstrap v1';
